"""A peer without a browser: aiortc on natkit's ICE, with sounds to send and places to put them."""
