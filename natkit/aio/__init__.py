"""Real sockets under asyncio: the only place that arms timers."""
