"""``memwatch keygen``: create a pair of CURVE keys."""

from __future__ import annotations

import click

from ..stream import keys


@click.command("keygen", short_help="Create a pair of CURVE keys for publishing.")
@click.argument("name", default="own")
def command(name: str) -> None:
    """Create a public key NAME.key and a secret key NAME.key_secret.

    NAME defaults to 'own', the identity of kernels and `memwatch top` on this machine.
    The files lie in memwatch/keys in Jupyter's configuration folder. Put the public
    keys of allowed peers into admitted/ there.
    """
    try:
        public, secret = keys.make_keys(name)
    except keys.KeysError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"public key:    {public} (copy it to your peers)")
    click.echo(f"secret key:    {secret} (keep it private)")
    click.echo(f"allowed peers: {public.parent / 'admitted'}/*.key")
