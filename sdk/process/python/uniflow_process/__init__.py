"""Steps of Uniflow as a process in Python.

    from uniflow_process import serve, step

    @step
    def run(ctx):
        rows = ctx.inputs["rows"]
        ctx.log.info("%d rows", len(rows))
        return {"count": len(rows)}

    if __name__ == "__main__":
        serve()

The object that a step returns becomes its outputs, one for each key. Steps run one at a time, in the main thread of the
program, which the host keeps between attempts and may kill at any time: keep nothing in memory that must not be lost.
"""
from ._context import (
    Artifacts,
    CallError,
    Context,
    Ending,
    Failed,
    HTTP,
    Log,
    Permanent,
    Reference,
    Response,
    Retry,
    Skip,
    State,
)
from ._serve import serve, step

__all__ = [
    "Artifacts", "CallError", "Context", "Ending", "Failed", "HTTP", "Log", "Permanent", "Reference", "Response", "Retry", "Skip",
    "State", "serve", "step",
]
__version__ = "1.0.0"
