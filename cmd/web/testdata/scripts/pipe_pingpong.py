"""A parent and a child that answer each other over a pipe."""
from multiprocessing import Pipe, Process


def child(connection):
    while True:
        try:
            message = connection.recv()
        except EOFError:
            print("child: the parent has closed")
            break
        if message == "stop":
            connection.send("bye")
            break
        connection.send(message * 2)
    connection.close()


if __name__ == "__main__":
    parent_end, child_end = Pipe()
    p = Process(target=child, args=(child_end,))
    p.start()
    for value in [1, "ab", [1, 2], 2.5]:
        parent_end.send(value)
        print(value, "->", parent_end.recv())
    print("waiting:", parent_end.poll())
    parent_end.send("stop")
    print(parent_end.recv())
    p.join()
    print("exit code", p.exitcode)
