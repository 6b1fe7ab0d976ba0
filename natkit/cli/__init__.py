"""The command line: parse, call one tool, render text or JSON."""
