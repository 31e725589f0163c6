"""Pictures of an episode: tissue, purchases in order, rounds, coverage, and what is left."""

from scr2st_env.envs.rendering.picture import SlidePicture as SlidePicture
