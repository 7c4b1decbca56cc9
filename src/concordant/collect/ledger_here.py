"""The ledger of the web process, for the routes that count."""

from typing import Annotated

from fastapi import Depends, Request

from concordant.store.ledger import Ledger


def ledger_of(request: Request) -> Ledger:
    """The ledger of the application that serves the request."""
    ledger: Ledger = request.app.state.ledger
    return ledger


LedgerHere = Annotated[Ledger, Depends(ledger_of)]
