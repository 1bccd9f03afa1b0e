/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mpi_allreduce: sums of vectors over all ranks, from 1 KiB up to a size in bytes; every element
 * of every result is compared with what it must be.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST 1024
#define ROUNDS   3

static uint64_t value(int rank, size_t i, int round)
{
    return (i + 1) * 2654435761u + (uint64_t)rank * 40503u + (uint64_t)round;
}

/* the number of elements that are wrong on this rank */
static long all_reduce(uint64_t *in, uint64_t *out, size_t count, int ranks, int rank, int round)
{
    long wrong = 0;

    for (size_t i = 0; i < count; i++)
        in[i] = value(rank, i, round);
    MPI_Allreduce(in, out, (int)count, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = 0;

        for (int r = 0; r < ranks; r++)
            sum += value(r, i, round);
        wrong += out[i] != sum;
    }
    return wrong;
}

int main(int argc, char **argv)
{
    size_t largest = argc > 1 ? strtoul(argv[1], NULL, 0) : 1u << 20;
    long wrong = 0, all = 0;
    uint64_t *in, *out;
    int ranks, rank;

    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    in = malloc(largest);
    out = malloc(largest);
    if (!in || !out)
        MPI_Abort(MPI_COMM_WORLD, 1);
    for (size_t size = SMALLEST; size <= largest; size *= 4) {
        double start = MPI_Wtime();

        for (int round = 0; round < ROUNDS; round++)
            wrong += all_reduce(in, out, size / sizeof(*in), ranks, rank, round);
        if (!rank)
            printf("%8zu KiB %9.2f ms\n", size / 1024, (MPI_Wtime() - start) / ROUNDS * 1e3);
    }
    MPI_Allreduce(&wrong, &all, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    if (!rank)
        printf("%d ranks, %ld wrong elements\n", ranks, all);
    free(in);
    free(out);
    MPI_Finalize();
    return all ? 1 : 0;
}
