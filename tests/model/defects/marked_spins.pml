/* A worker that waits for its death goes on counting as one that polls. */
#define DEFECT_KILLED_SPINS
#include "../configurations/stopped_server.pml"
