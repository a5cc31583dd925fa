"""Who fixes: an ordered chain of rules that explains its answer, asked for the whole estate or for one thing."""
