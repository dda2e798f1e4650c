"""The documented REST API: thin routes, one module for each noun, and one for how all of them speak HTTP."""
