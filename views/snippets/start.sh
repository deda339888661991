curl -sSO BASE/static/python/allcores.py
export ALLCORES_URL=BASE
export ALLCORES_TOKEN="${ALLCORES_TOKEN:?is not set}"
cat > squares.py <<'END'
from allcores import Executor
def square(x):
    return x * x
if __name__ == "__main__":
    with Executor() as ex:
        print(sum(ex.map(square, range(1000))))
END
python3 squares.py
