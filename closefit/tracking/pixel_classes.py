"""Whose a pixel is, judged by its look: a small network that is trained on each clip.

It learns from frames in which the masks of both people can be trusted, and is applied where the two
are in contact.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

NOBODY = 2
"""Class of the background; the people are 0 and 1."""

CLASSES = 3
BLURS_PX = (1.0, 4.0, 16.0)
"""Scales at which colour is described, for people who are some 240 pixels tall."""

CONTRAST_PX = 3.0
LOOK_SIZE = 3 * len(BLURS_PX) + 2
HIDDEN = 48
STEPS, BATCH = 400, 2048
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-3

SAMPLES = 250
"""Pixels of each class taken from a frame."""

EDGE_PX = 1
AROUND_PX = 3
"""People's pixels this near to the edge of their mask, and the background's this near to a person,
are not taken."""

Look = Float[np.ndarray, "*pixel look"]
Shares = Float[np.ndarray, "*pixel class"]
"""Probability of each class."""


Drawn = tuple[Float[np.ndarray, "_ look"], Int[np.ndarray, " _"]]
"""Looks of some pixels (sample, look), and the class of each."""


def looks(image: UInt8[np.ndarray, "height width 3"], top: float, tall: float) -> Look:
    """Describe each pixel: colour at several scales, contrast around it, height in the scene.

    Args:
        image: RGB.
        top: Row of the upper end of the two people.
        tall: Their height in pixels.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    lab = np.asarray(lab / 50.0, np.float32)
    blurred = [cv2.GaussianBlur(lab, (0, 0), sigma) for sigma in BLURS_PX]
    lightness = np.asarray(lab[..., 0], np.float32)
    mean = cv2.GaussianBlur(lightness, (0, 0), CONTRAST_PX)
    square = cv2.GaussianBlur(np.asarray(lightness**2, np.float32), (0, 0), CONTRAST_PX)
    contrast = np.sqrt(np.maximum(square - mean**2, 0.0))
    height = np.repeat((np.arange(len(lab)) - top)[:, None] / tall, lab.shape[1], axis=1)
    return np.concatenate(
        [*blurred, 5.0 * contrast[..., None], 2.0 * height[..., None]], axis=-1
    ).astype(np.float32)


def samples(
    look: Look, masks: Bool[np.ndarray, "2 height width"], rng: np.random.Generator
) -> Drawn:
    """Draw pixels of each class, with their class, from a frame in which masks can be trusted."""
    own = [_shrunk(masks[person] & ~masks[1 - person], EDGE_PX) for person in range(2)]
    nobody = _shrunk(np.asarray(~masks.any(axis=0)), AROUND_PX)
    places = [np.flatnonzero(area) for area in (*own, nobody)]
    drawn = [rng.choice(of_class, min(SAMPLES, len(of_class)), False) for of_class in places]
    label = np.repeat(np.arange(CLASSES), [len(of_class) for of_class in drawn])
    return look.reshape(-1, LOOK_SIZE)[np.concatenate(drawn)], label


def normalised(shares: Shares) -> Shares:
    """Probabilities that add up to 1, in single precision."""
    shares = shares.astype(np.float32)
    return np.asarray(shares / np.maximum(shares.sum(axis=-1, keepdims=True), 1e-6))


def _shrunk(area: Bool[np.ndarray, "height width"], by_px: int) -> Bool[np.ndarray, "height width"]:
    kernel = np.ones((2 * by_px + 1, 2 * by_px + 1), np.uint8)
    return np.asarray(cv2.erode(area.astype(np.uint8), kernel) > 0)


class PixelClasses:
    """Classifies pixels by their look."""

    def __init__(self, look: Float[np.ndarray, "sample look"], label: Int[np.ndarray, " sample"]):
        """Train on samples, each class with the same weight.

        Args:
            look: From `looks`.
            label: Class of each sample.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self._network = nn.Sequential(
                nn.Linear(LOOK_SIZE, HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, HIDDEN),
                nn.ReLU(),
                nn.Linear(HIDDEN, CLASSES),
            )
            self._mean, self._scale = look.mean(axis=0), look.std(axis=0) + 1e-3
            self._train(self._scaled(look), torch.from_numpy(label))

    @torch.no_grad()
    def __call__(self, look: Look) -> Shares:
        """Probability of each class for each pixel."""
        flat = self._scaled(look.reshape(-1, LOOK_SIZE))
        shares = torch.softmax(self._network(flat), dim=-1)
        return np.asarray(shares.numpy().reshape(*look.shape[:-1], CLASSES))

    def accuracy(
        self, look: Float[np.ndarray, "sample look"], label: Int[np.ndarray, " sample"]
    ) -> float:
        """Share of samples that are given their class, mean of the classes."""
        right = self(look).argmax(axis=-1) == label
        return float(np.mean([right[label == number].mean() for number in range(CLASSES)]))

    def _scaled(self, look: Look) -> Tensor:
        return torch.from_numpy(((look - self._mean) / self._scale).astype(np.float32))

    def _train(self, look: Tensor, label: Tensor) -> None:
        of_class = [torch.nonzero(label == number).flatten() for number in range(CLASSES)]
        optimizer = torch.optim.AdamW(
            self._network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        for _ in range(STEPS):
            drawn = torch.cat(
                [rows[torch.randint(len(rows), (BATCH // CLASSES,))] for rows in of_class]
            )
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(
                self._network(look[drawn]), label[drawn], label_smoothing=0.05
            )
            loss.backward()
            optimizer.step()
            schedule.step()
