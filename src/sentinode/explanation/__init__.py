"""Attribution maps of a network, and checks of how far they can be trusted."""
