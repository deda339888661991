from multiprocessing import Array, Process, Value


def fill(number, numbers):
    number.value = 3.1415927
    for i in range(len(numbers)):
        numbers[i] = -numbers[i]


if __name__ == "__main__":
    number = Value("d", 0.0)
    numbers = Array("i", range(10))
    p = Process(target=fill, args=(number, numbers))
    p.start()
    p.join()
    print(number.value)
    print(numbers[:])
    print(numbers[2], numbers[-1], len(numbers), sum(numbers))
    numbers[1:3] = [100, 200]
    print(list(numbers))
