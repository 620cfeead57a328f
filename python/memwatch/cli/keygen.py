"""``memwatch keygen``: a pair of CURVE keys."""

from __future__ import annotations

import click

from ..stream import keys

__all__ = ["command"]


@click.command("keygen", short_help="Make a pair of CURVE keys for the stream.")
@click.argument("name", default="own")
def command(name: str) -> None:
    """Make NAME.key, to be given away, and NAME.key_secret, which nobody else may see.

    Without a NAME it is "own", which kernels and `memwatch top` on this machine are
    known by. A name makes keys for somebody else. They lie in memwatch/keys of
    Jupyter's configuration folder; the public keys of those who may connect to this
    machine belong into its admitted/.
    """
    try:
        public, secret = keys.make_keys(name)
    except keys.KeysError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"public, to be given away: {public}")
    click.echo(f"secret, to be kept:       {secret}")
    click.echo(f"who may connect to you:   {public.parent / 'admitted'}/*.key")
