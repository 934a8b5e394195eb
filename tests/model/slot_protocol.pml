/* The slot protocol of a pool: how tasks go into slots, are claimed, finished, stopped and read, and who
 * wakes whom. docs/internals/model.md says what is checked and what is not in here.
 *
 * Every `inline` is a transition of src/processes/: the code has a comment `Model: NAME` at the place, and
 * `tests/model/check names` compares the two. What is no transition is a #define or stands in a proctype.
 *
 * A step that others can see is one statement or one d_step. Loads of several words stand in one step where
 * looking at different moments gives nothing that looking at one of them does not.
 *
 * A configuration (configurations/NAME.pml) sets the constants below and includes this file; a defect
 * (defects/NAME.pml) defines one DEFECT_... and includes a configuration. */

#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef TASKS
#define TASKS 3
#endif
#ifndef JOINED
#define JOINED 0      /* mask: the task and the next are submitted in one go */
#endif
#ifndef RETRIES
#define RETRIES 0     /* mask: tasks that run again, once, if their worker dies */
#endif
#ifndef TIMED
#define TIMED 0       /* mask: tasks that may pass their deadline */
#endif
#ifndef CANCELS
#define CANCELS 0     /* mask: tasks that another thread cancels, at any time, also while they run */
#endif
#ifndef FORCE
#define FORCE 1       /* cancel also stops running tasks */
#endif
#ifndef AWAITED
#define AWAITED 255   /* mask: tasks whose future somebody waits for before the pool is shut down */
#endif
#ifndef ONE_BY_ONE
#define ONE_BY_ONE 0  /* 1: each future is waited for before the next task is submitted */
#endif
#ifndef OWNER_IS_AWAY
#define OWNER_IS_AWAY 0 /* 1: the program does nothing with the pool until all tasks have found a slot */
#endif
#ifndef SHUTDOWN
#define SHUTDOWN 0    /* 1: the pool is shut down in the end; else it ends with its workers asleep */
#endif
#ifndef CRASHES
#define CRASHES 0     /* how many workers die by themselves, at any step */
#endif
#ifndef SERVER_STOPPED
#define SERVER_STOPPED 0 /* 1: the fork server is stopped, and kills nobody */
#endif
#ifndef HEAD
#define HEAD 0        /* 1: with the hint where a worker that starts late begins; else at the first position */
#endif
#ifndef STRAY
#define STRAY 0       /* 1: some process writes once, at any time, where it must not */
#endif
#ifndef SPINNERS
#define SPINNERS 1    /* how many workers may count as spinning: one fewer than CPUs */
#endif
/* A pair of tasks of which neither ends before the other has begun, or will never begin. So they end only if two
 * workers run them at the same time: an idle worker beside a task that is ready, whom nobody rings, is found. */
#ifdef PAIR_A
#define PAIR_OF(t) ((t) == PAIR_A -> PAIR_B : PAIR_A)
#define MAY_END(t) (((t) != PAIR_A && (t) != PAIR_B) || HAS(started, PAIR_OF(t)) || ending[PAIR_OF(t)] != PENDING)
#else
#define MAY_END(t) true
#endif
#define DEATHS (CRASHES || TIMED || CANCELS)

#define WORKERS 2
#define NONE 255

/* Tags of the state word. */
#define FREE 0
#define READY 1
#define RUNNING 2
#define DONE 3
#define MARKED_FOR_KILL 4
/* How a task ended. */
#define PENDING 0
#define VALUE 1
#define DIED 2
#define TIMED_OUT 3
#define CANCELLED 4
/* The life of a worker. */
#define EMPTY 0
#define SPAWN_WANTED 1
#define ALIVE 2
#define ENDED 3

#define BIT(i) (1 << (i))
#define HAS(mask, i) (((mask) >> (i)) & 1)

#include "memory.pml"  /* what is shared, and what the owner knows */
#include "owner.pml"   /* what the owner does while it holds the mutex, and rings after it */
#include "threads.pml" /* its threads */
#include "service.pml" /* its service thread, and the fork server */
#include "worker.pml"
