"""`python -m runbooks.local`: the same as `holdfast`, where its script is not on the path."""

from runtime.__main__ import console

if __name__ == "__main__":
    console()
