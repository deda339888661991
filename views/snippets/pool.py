from allcores import Pool


def power(x, n):
    return x ** n


if __name__ == "__main__":
    with Pool(4) as pool:
        print(pool.starmap(power, [(2, 3), (3, 2)]))
        for result in pool.imap_unordered(abs, [-1, -2, -3]):
            print("result", result)
