"""multiprocessing.Pool with one import changed: starmap, callbacks, an initializer."""

from retinue.multiprocessing import Pool

prices = {}


def set_up(table):
    prices.update(table)


def cost(item, count):
    return prices[item] * count


if __name__ == "__main__":
    with Pool(2, initializer=set_up, initargs=({"tea": 3, "cake": 4},)) as pool:
        print(pool.starmap(cost, [("tea", 2), ("cake", 1)]))
        pool.apply_async(cost, ("tea", 5), callback=lambda result: print("callback:", result)).wait()
        print(list(pool.imap_unordered(abs, [-1, 0, 1])))
