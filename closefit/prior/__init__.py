"""The proxemics prior: a diffusion model of how two people move together (paper section 3.2).

Terms of this package. A *window* is 16 frames of two people at 30 fps. *Normalised keypoints* are
keypoints on the plane z = 1 of the camera (x/z, y/z, confidence; confidence 0: unknown). The *view*
of a window is a camera turned towards the pair, with the pair's apparent size as the unit of
length: the network's input depends neither on the image size nor on the focal length nor on the
position of the pair in the image. The *state* is the vector that the network denoises: pose, shape
and place of both people in that view. A *timestep* counts noise, from 0 (almost none) to 99.
"""
