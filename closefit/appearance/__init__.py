"""How the two people look: Gaussians on their bodies, and the rasterisers that draw them."""
