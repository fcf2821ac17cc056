"""Where the parts are wired together: preflight, the worker, evaluation over workers."""
