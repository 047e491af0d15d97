"""What one of several processes (``torchrun``) does for all of them."""


def once(function, *args, **kwargs):
    """``function(*args, **kwargs)`` on the main process; the others wait, and get its result.

    For what writes files, or would only be done again. The result goes through pickle. When it
    raises, the main process does, and the others end without a word: one message is enough.
    """

    # Here, since not all that reads this file trains or evaluates.
    from speechbrain.utils.distributed import if_main_process, run_on_main

    def attempt():
        try:
            return function(*args, **kwargs), None
        except Exception as error:
            failure.append(error)
            return None, True

    failure = []
    result, failed = run_on_main(attempt)
    if failure:
        raise failure[0]
    if failed and not if_main_process():
        raise SystemExit(1)
    return result
