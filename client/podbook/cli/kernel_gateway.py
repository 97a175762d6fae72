"""``podbook kernelgateway``: the Jupyter Kernel Gateway's notebook-http mode, with its own options."""

import click

from podbook_api.kernel_gateway.serving import run

__all__ = ["kernelgateway"]


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def kernelgateway(options: tuple[str, ...]) -> int:
    """Serve a notebook whose annotated cells answer HTTP requests, as the Jupyter Kernel Gateway does.

    Takes the gateway's options, KG_* variables and jupyter_kernel_gateway_config.py; `--help-all` lists them. For example:

        podbook kernelgateway --KernelGatewayApp.api=kernel_gateway.notebook_http --KernelGatewayApp.seed_uri=notebook.ipynb
    """
    return run(list(options))
