"""The one part of the build that ``pyproject.toml`` cannot say: a module that is compiled."""

from setuptools import Extension, setup

# Optional: where there is no C compiler it is left out, and NumPy does the same work.
setup(
    ext_modules=[
        Extension("scr2st_env.rewards._kernels", ["scr2st_env/rewards/_kernels.pyx"], optional=True)
    ]
)
