from math import sqrt

import allcores.joblib
from joblib import Parallel, delayed, parallel_backend

with parallel_backend("allcores", n_jobs=2):
    print(Parallel()(delayed(sqrt)(n) for n in (1, 4, 9)))
