from multiprocessing import Manager, Process


def work(d, names, index):
    d[index] = "process %d" % index
    d["last of %d" % index] = {"index": index, "pair": (index, index * 2)}
    names.append(index)


if __name__ == "__main__":
    with Manager() as manager:
        d, names = manager.dict(), manager.list()
        processes = [Process(target=work, args=(d, names, i)) for i in range(4)]
        for p in processes:
            p.start()
        for p in processes:
            p.join()
        for key in sorted(d.keys(), key=str):
            print(key, "=", d[key])
        print(sorted(names), len(d), 2 in d, d.get("no", "none"))
        names.reverse()
        names.sort()
        print(names[0], names[-1], names[1:3])
        print(dict(d) == d.copy())
