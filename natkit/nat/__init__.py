"""NAT behaviour: the words of RFC 4787, the plan that measures them, and what they mean."""
