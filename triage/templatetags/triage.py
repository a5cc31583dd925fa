"""What templates need to say of our nouns."""

from django import template

register = template.Library()
