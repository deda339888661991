from allcores import Job


def square(x):
    return x * x


if __name__ == "__main__":
    job = Job.submit(square, range(5), name="squares")
    print(list(Job(job.id).results()))
