"""Matrix products by faiss's BLAS, which obeys faiss's number of threads; NumPy's does not."""

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats


class CentroidProducts:
    """Compute xc - |c|^2 / 2 for points x and all centroids c: |x|^2 / 2 minus half the squared distance."""

    def __init__(self, centroids: Floats) -> None:
        import faiss

        codes, dim = centroids.shape
        self.squares = np.einsum("ij,ij->i", centroids, centroids)
        self._transform = faiss.LinearTransform(dim, codes, True)
        faiss.copy_array_to_vector(np.ravel(centroids), self._transform.A)
        faiss.copy_array_to_vector(-self.squares / 2, self._transform.b)
        self._transform.is_trained = True

    def __call__(self, points: Floats, table: Floats) -> None:
        """Fill the table, float32 (n, codes), for points (n, dim); both contiguous."""
        import faiss

        self._transform.apply_noalloc(  # type: ignore[attr-defined]  # missing in faiss's stubs
            len(points), faiss.swig_ptr(points), faiss.swig_ptr(table)
        )
