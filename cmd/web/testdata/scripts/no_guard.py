"""A script as it is often written on Linux: without if __name__ == "__main__"."""
import multiprocessing
import random

random.seed(7)
print("the script begins")
numbers = [random.randint(1, 9) for _ in range(4)]
total = multiprocessing.Value("i", 0)
table = {}
for n in numbers:
    table[n] = n * n


def work(n):
    with total.get_lock():
        total.value += table[n]


processes = [multiprocessing.Process(target=work, args=(n,)) for n in numbers]
for p in processes:
    p.start()
for p in processes:
    p.join()
print(total.value == sum(n * n for n in numbers))
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, 2, -3]))
    print(sorted(pool.map(table.get, set(numbers))) == sorted(table.values()))
print("the script ends")
