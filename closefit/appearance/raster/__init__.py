"""Rasterisers of Gaussians: gsplat, the portable one, and a slow reference."""
