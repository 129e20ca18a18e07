"""What is wrong with an environment's settings, for a person to read."""


class ConfigError(ValueError):
    """The settings of a stack cannot be used. Its text has one line a fault, each with what to write instead."""

    @property
    def lines(self) -> tuple[str, ...]:
        """One line a fault."""
        return tuple(str(self).splitlines())
