"""Who decides, and what happens when both sides believe to (RFC 8445 §7.2.5.1, §7.3.1.1)."""

from __future__ import annotations

from collections.abc import Callable

from natkit.wire import IceControlled, IceControlling, Message


class Role:
    """The role of an agent.

    Args:       randomness: returns that many unpredictable bytes.
    Attributes: controlling: this side nominates; tie_breaker: 64 bits.
    """

    def __init__(self, randomness: Callable[[int], bytes], *, controlling: bool) -> None:
        self.controlling = controlling
        self._randomness = randomness
        self.tie_breaker = self._draw()

    def _draw(self) -> int:
        return int.from_bytes(self._randomness(8), "big")

    def attribute(self) -> IceControlling | IceControlled:
        """Return what a check says about our role."""
        return (IceControlling if self.controlling else IceControlled)(self.tie_breaker)

    def conflicts(self, request: Message) -> bool:
        """Tell whether the sender of `request` believes to have our role."""
        return request.find(IceControlling if self.controlling else IceControlled) is not None

    def yields_to(self, request: Message) -> bool:
        """Tell, in a conflict, whether we switch; else the peer is told to (487)."""
        said = request.find(IceControlling if self.controlling else IceControlled)
        larger = said is not None and self.tie_breaker >= said.tie_breaker
        # The larger tie-breaker controls, and an equal one keeps the role of who is asked.
        return not larger if self.controlling else larger

    def switch(self) -> None:
        """Take the other role: the peer's request has won."""
        self.controlling = not self.controlling

    def refused(self, *, was_controlling: bool) -> bool:
        """Take a 487 to a check sent as `was_controlling`; True: the role was switched.

        The tie-breaker is drawn anew, so that two agents cannot go on refusing each other.
        """
        if was_controlling is not self.controlling:
            return False
        self.controlling = not was_controlling
        self.tie_breaker = self._draw()
        return True
