"""`calto compare`: the same call twice, directly and through a relay."""
