"""What a worker process runs."""

import gc

from fastapi import FastAPI

from runtime.api.app import create_app


def application() -> FastAPI:
    """The application, in a process that has nothing else to do.

    A request leaves hardly any cycles, and walking the objects of the imported modules again and again took up to a
    fifth of its time: they are set aside, and the rest is looked through less often.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    return app
