"""Listen to Interpret (L2I; Parekh et al., NeurIPS 2022): the method's parts.

``dictionary`` (NMF), ``networks`` (Psi and Theta), ``brain`` and ``train`` (their training), and
``interpreter``, the class that explains.
"""
