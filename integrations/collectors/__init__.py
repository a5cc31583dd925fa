"""Collectors: what an account holds, enumerated and described by plain facts. One file a cloud."""
