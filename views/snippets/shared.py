from allcores import Executor, Queue, Value, progress


def count(word):
    progress(0.5, "counting " + word)
    Queue("seen").put(word)
    return Value("letters", 0).add(len(word))


if __name__ == "__main__":
    with Executor() as ex:
        list(ex.map(count, ["red", "green", "blue"]))
        print("letters:", Value("letters", job=ex.job.id).get())
