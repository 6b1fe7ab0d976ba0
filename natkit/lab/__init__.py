"""One topology, two worlds: a simulated internet and real Linux NATs in namespaces."""
