"""Adds 1 to a shared value, as fast as one process can: adder.py SOCKET PATH TASK TIMES."""
import socket
import struct
import sys

path, task, times = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
conn = socket.socket(socket.AF_UNIX)
conn.connect(sys.argv[1])
conn.sendall(f"GET {path}/shared HTTP/1.1\r\nHost: allcores\r\nConnection: Upgrade\r\nUpgrade: allcores-shared\r\n\r\n".encode())
while not conn.recv(4096).endswith(b"\r\n\r\n"):
    pass
text = b'addhits{"kind":"value","args":[1]}'
head = struct.Struct("<IIQBHH")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(times):
    conn.sendall(head.pack(17 + len(text), 1, task, 3, 0, 4) + text)
    answer = conn.recv(4096)
    assert answer[8] == 0 and len(answer) == 4 + int.from_bytes(answer[:4], "little"), answer
