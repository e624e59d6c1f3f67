"""Who is told what of the history: at least once each, in order, never in the way of a takeover.

``due`` and ``documents`` are pure; ``webhook`` and ``command`` deliver one notification once;
``courier`` sees to one target, ``notifier`` runs the couriers of a leading controller.
"""
