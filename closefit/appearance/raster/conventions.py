"""The numbers on which all rasterisers agree; those of gsplat 1.5 except for the opacity cap."""

NEAR_M = 0.01
"""Gaussians nearer than this to the camera plane are not drawn."""

DILATION_PX2 = 0.3
"""Added to the diagonal of every projected covariance so that none is thinner than a pixel."""

MIN_ALPHA = 1.0 / 255.0
"""Fainter contributions to a pixel are left out; this bounds the extent of a Gaussian."""

MAX_ALPHA = 0.99
"""Cap of one Gaussian's contribution, so that transmittance never becomes zero."""

MIN_TRANSMITTANCE = 1e-4
"""A pixel is finished just before the Gaussian that would leave this transmittance or less."""

JACOBIAN_MARGIN = 0.3
"""The projection's Jacobian is taken at x/z and y/z clamped to the image plus this share of half
its width and height: far outside the image the linear approximation is useless."""
