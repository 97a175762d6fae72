"""``podbook kernelgateway``: one notebook, or a folder of them, whose annotated cells answer HTTP requests in kernels that stay."""
