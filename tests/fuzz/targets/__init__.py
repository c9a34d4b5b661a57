"""One way into the product a module: `seeds()` are good inputs, `check(data)` raises where a bad one escapes as no error of ours."""

NAMES = ("header", "frames", "archive", "labels", "bundle")
