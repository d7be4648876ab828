"""Uses a package from PyPI that stands beside it: pip install --target . --require-hashes -r requirements.txt"""
import humanize


def run(ctx):
    return {"size": humanize.naturalsize(ctx.inputs["bytes"]), "count": humanize.intcomma(ctx.inputs["count"])}
