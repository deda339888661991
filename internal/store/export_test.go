package store

// ListQueues is the statement of Queues.
const ListQueues = listQueues
