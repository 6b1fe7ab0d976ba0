"""How two people find each other with one code: the code, the room, what they say, their pings."""
