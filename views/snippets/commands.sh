seq 1 3 > numbers
python3 allcores.py map squares.py:square numbers
python3 allcores.py run -k -- echo "number {}" ::: 1 2 3
python3 allcores.py run -a numbers -- 'test {} -gt 0 && echo "{} is positive"'
python3 allcores.py jobs | head -3
