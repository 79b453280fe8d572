"""The proxemics prior: a diffusion model of how two people move together (paper section 3.2).

Vocabulary of this package. A *window* is 16 frames of two people at 30 fps. Its *view* is a camera
turned towards the pair, with lengths measured in the pair's apparent size, so that nothing the
network sees depends on image size, focal length or where in the image the people are. Its *state*
is what the network denoises: pose, shape and place of both people in that view.
"""
