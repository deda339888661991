# needs joblib
from joblib import Parallel, delayed


def cube(x):
    return x ** 3


if __name__ == "__main__":
    print(Parallel(n_jobs=2)(delayed(cube)(i) for i in range(8)))
    print(Parallel(n_jobs=2, prefer="threads")(delayed(len)("x" * i) for i in range(4)))
