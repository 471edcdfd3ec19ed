"""The one error of the stack: a sentence for the person who typed the command."""


class StackError(Exception):
    """Says what is wrong, with the value that is wrong, and what to do about it."""
